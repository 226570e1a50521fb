// What the Worker is told: bindings, secrets and settings, with every default.

import type { VoiceContainer } from "./container";

export interface Env {
  VOICE: DurableObjectNamespace<VoiceContainer>;

  /** The host name that Twilio knows: signatures are computed over it, never over the Host header. */
  PUBLIC_HOST: string;
  TWILIO_ACCOUNT_SID: string;
  /** Who is shown as calling on outbound calls, E.164. */
  TWILIO_FROM: string;

  TWILIO_AUTH_TOKEN: string;
  /** Signs the ticket of every media stream. */
  STREAM_SECRET: string;
  /** The bearer of `/calls…`. */
  API_TOKEN: string;

  /** The root of Twilio's REST API: another region's, or an emulator's. */
  TWILIO_API?: string;
  /** A Durable Object location hint, near Twilio's media edge. */
  REGION?: string;
  CALL_SECONDS?: string;
  RING_SECONDS?: string;
  PORT_SECONDS?: string;
  READY_SECONDS?: string;
  STREAM_SECONDS?: string;
  STOP_SECONDS?: string;
  EVENT_SECONDS?: string;
  SLEEP_AFTER?: string;
  APOLOGY?: string;
}

/** Times are seconds. */
export interface Settings {
  /** How long a call may last. */
  readonly call: number;
  /** How long a webhook is held while the phone rings; Twilio gives up at 15. */
  readonly ring: number;
  /** How long the container's ports may take to open. */
  readonly port: number;
  /** How long the host may then take to be ready. */
  readonly ready: number;
  /** How long a stream's ticket is valid. */
  readonly stream: number;
  /** How long a container that was told to stop may live on. */
  readonly stop: number;
  /** How long the events of a call are kept. */
  readonly events: number;
  /** When a container that nobody talks to stops, as Containers write it: "2m". */
  readonly sleepAfter: string;
  /** What a caller hears when the agent cannot come. */
  readonly apology: string;
}

export function settings(env: Env): Settings {
  return {
    call: seconds("CALL_SECONDS", env.CALL_SECONDS, 900),
    ring: seconds("RING_SECONDS", env.RING_SECONDS, 8),
    port: seconds("PORT_SECONDS", env.PORT_SECONDS, 60),
    ready: seconds("READY_SECONDS", env.READY_SECONDS, 30),
    stream: seconds("STREAM_SECONDS", env.STREAM_SECONDS, 120),
    stop: seconds("STOP_SECONDS", env.STOP_SECONDS, 10),
    events: seconds("EVENT_SECONDS", env.EVENT_SECONDS, 7 * 86_400),
    sleepAfter: env.SLEEP_AFTER ?? "2m",
    apology: env.APOLOGY ?? "We are sorry, we cannot take your call right now. Please call again in a few minutes.",
  };
}

function seconds(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`${name} is no number of seconds above zero; fix: correct it under [vars] in wrangler.toml`);
  return value;
}

/** Kept from the container: it answers calls, it does not admit them. */
const WORKERS_OWN: ReadonlySet<string> = new Set<keyof Env>([
  "PUBLIC_HOST", "TWILIO_ACCOUNT_SID", "TWILIO_FROM", "TWILIO_AUTH_TOKEN", "STREAM_SECRET", "API_TOKEN", "TWILIO_API",
  "REGION", "CALL_SECONDS", "RING_SECONDS", "PORT_SECONDS", "READY_SECONDS", "STREAM_SECONDS", "STOP_SECONDS",
  "EVENT_SECONDS", "SLEEP_AFTER", "APOLOGY",
]);

/**
 * The host's environment: every secret and variable that is not the Worker's own, so a plugin's key
 * needs no line of code here.
 */
export function hostEnvironment(env: Env): Record<string, string> {
  const theirs = Object.entries(env as unknown as Record<string, unknown>).filter(
    (entry): entry is [string, string] => typeof entry[1] === "string" && !WORKERS_OWN.has(entry[0]),
  );
  return Object.fromEntries(theirs);
}
