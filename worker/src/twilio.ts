// Twilio's REST API: dial, and hang up.

import type { Env } from "./env";

export class TwilioRefused extends Error {
  constructor(readonly status: number, readonly code: number) {
    super(`Twilio answered ${status}, error ${code}`);
  }
}

export interface Dialled {
  to: string;
  twiml: string;
  /** Told how the call goes, and who picked up. */
  status: string;
  /** Seconds that the call may last. */
  limit: number;
}

/** Ring a phone. Returns Twilio's id of the call. */
export async function dial(env: Env, call: Dialled): Promise<string> {
  const answer = await post(env, "/Calls.json", [
    ["To", call.to],
    ["From", env.TWILIO_FROM],
    ["Twiml", call.twiml],
    ["TimeLimit", String(Math.round(call.limit))],
    ["Timeout", "30"],
    ["StatusCallback", call.status],
    ["StatusCallbackEvent", "answered"],
    ["StatusCallbackEvent", "completed"],
    // Beside the call, not before it: the stream opens at once and the verdict comes later.
    ["MachineDetection", "Enable"],
    ["AsyncAmd", "true"],
    ["AsyncAmdStatusCallback", call.status],
  ]);
  const { sid } = JSON.parse(answer) as { sid?: unknown };
  if (typeof sid !== "string") throw new TwilioRefused(200, 0);
  return sid;
}

/** End a call, whatever state it is in. */
export async function hangUpAtTwilio(env: Env, sid: string): Promise<void> {
  await post(env, `/Calls/${encodeURIComponent(sid)}.json`, [["Status", "completed"]]);
}

async function post(env: Env, path: string, form: string[][]): Promise<string> {
  const response = await fetch(`${env.TWILIO_API ?? "https://api.twilio.com"}/2010-04-01/Accounts/${env.TWILIO_ACCOUNT_SID}${path}`, {
    method: "POST",
    body: new URLSearchParams(form),
    headers: { authorization: `Basic ${btoa(`${env.TWILIO_ACCOUNT_SID}:${env.TWILIO_AUTH_TOKEN}`)}` },
    signal: AbortSignal.timeout(10_000),
  });
  const body = await response.text();
  if (!response.ok) throw new TwilioRefused(response.status, errorCode(body));
  return body;
}

function errorCode(body: string): number {
  try {
    return Number((JSON.parse(body) as { code?: unknown }).code) || 0;
  } catch {
    return 0;
  }
}
