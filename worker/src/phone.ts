// Twilio's doors: its webhooks, and the media stream.

import { type CallConfig, isCallId } from "./call";
import type { VoiceContainer } from "./container";
import { type Env, settings } from "./env";
import { kind, note } from "./log";
import { fromTwilio, isUpgrade } from "./signature";
import { ticket, ticketHolds } from "./ticket";
import { connectStream, hangUp, ringOn, sayAndHangUp } from "./twiml";

const MAX_FORM = 32_768;
/** How often a phone rings on for another ring budget. */
const RINGS = 4;

export function callObject(env: Env, call: string): DurableObjectStub<VoiceContainer> {
  const locationHint = (env.REGION ?? "enam") as DurableObjectLocationHint;
  return env.VOICE.get(env.VOICE.idFromName(call), { locationHint });
}

/** TwiML that opens the stream of a call, and comes to /resume behind it. */
export async function streamTwiml(env: Env, call: string, direction: CallConfig["direction"]): Promise<string> {
  const pass = await ticket(env.STREAM_SECRET, call, settings(env).stream);
  return connectStream(`wss://${env.PUBLIC_HOST}/media/${call}/${pass}`, { call, direction }, `https://${env.PUBLIC_HOST}/resume/${call}`);
}

/** A call comes in. It rings while the container boots, and is told when there will be none. */
export async function voice(request: Request, env: Env): Promise<Response> {
  const form = await signedForm(request, env);
  if (form instanceof Response) return form;
  const call = form["CallSid"];
  if (!isCallId(call)) return new Response("a webhook names its CallSid", { status: 400 });
  const { ring, apology } = settings(env);
  const object = callObject(env, call);
  const rung = Number(new URL(request.url).searchParams.get("ring") ?? 0) + 1;
  try {
    const config: CallConfig = { call, direction: "inbound", from: form["From"] ?? "", to: form["To"] ?? "" };
    if (await object.readyWithin(config, ring)) return xml(await streamTwiml(env, call, "inbound"));
    if (rung < RINGS) return xml(ringOn(`https://${env.PUBLIC_HOST}/voice?ring=${rung}`));
    await object.end("not answered");
  } catch (error) {
    // Twilio would read an error page to the caller; they hear ours.
    note(call, "the call could not be taken", { error: kind(error) });
  }
  return xml(sayAndHangUp(apology));
}

/** The stream of a call is over: the call may be, too, or it comes back. */
export async function resume(request: Request, env: Env, call: string): Promise<Response> {
  const form = await signedForm(request, env);
  if (form instanceof Response) return form;
  const object = callObject(env, call);
  switch (await object.resume()) {
    case "live":
      return xml(await streamTwiml(env, call, (await object.view())?.direction === "outbound" ? "outbound" : "inbound"));
    case "lost":
      return xml(sayAndHangUp(settings(env).apology));
    case "over":
      return xml(hangUp());
  }
}

/** How a call goes, and who picked up. An inbound call is named by its CallSid. */
export async function status(request: Request, env: Env, named: string | undefined): Promise<Response> {
  const form = await signedForm(request, env);
  if (form instanceof Response) return form;
  const call = named ?? form["CallSid"];
  if (!isCallId(call)) return new Response("a status names its call", { status: 400 });
  await callObject(env, call).status(form["CallStatus"] ?? "", form["AnsweredBy"] ?? "");
  return new Response(null, { status: 204 });
}

/** Twilio opens the stream. Checked before an object is woken. */
export async function media(request: Request, env: Env, call: string, pass: string): Promise<Response> {
  if (!isUpgrade(request)) return new Response("this is a media stream", { status: 426 });
  const allowed = (await ticketHolds(env.STREAM_SECRET, call, pass)) && (await fromTwilio(request, env));
  if (!allowed) {
    note(call, "a stream without signature and ticket was refused");
    return new Response("not signed by Twilio, or without a ticket that holds", { status: 403 });
  }
  // By fetch: a websocket does not cross RPC.
  return callObject(env, call).fetch(request);
}

async function signedForm(request: Request, env: Env): Promise<Record<string, string> | Response> {
  const body = await request.text();
  if (body.length > MAX_FORM) return new Response("a webhook is a small form", { status: 413 });
  const form = Object.fromEntries(new URLSearchParams(body));
  if (await fromTwilio(request, env, form)) return form;
  note("", "a webhook without Twilio's signature was refused");
  return new Response("not signed by Twilio", { status: 403 });
}

function xml(twiml: string): Response {
  return new Response(twiml, { headers: { "content-type": "text/xml" } });
}
