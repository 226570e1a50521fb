// The operator's doors, behind the API token: place a call, look at one, stop one.

import { type CallConfig, isKill } from "./call";
import { type Env, settings } from "./env";
import { kind, note } from "./log";
import { same } from "./mac";
import { callObject, streamTwiml } from "./phone";
import { isUpgrade } from "./signature";
import { dial } from "./twilio";

const MAX_BODY = 16_384;
/** E.164. */
const NUMBER = /^\+[1-9]\d{6,14}$/;
/** Nobody hears a phone ring yet, so a boot may take its time. Seconds. */
const BOOT = 60;

export async function allowed(request: Request, env: Env): Promise<boolean> {
  return same(request.headers.get("authorization") ?? "", `Bearer ${env.API_TOKEN}`);
}

/** Boot first, then dial: who picks up is not kept waiting. */
export async function place(request: Request, env: Env): Promise<Response> {
  const asked = await body(request);
  const { to, parameters } = asked;
  if (typeof to !== "string" || !NUMBER.test(to)) return problem(400, '"to" is a number in E.164, such as +15005550006');
  if (parameters !== undefined && !isTexts(parameters)) return problem(400, '"parameters" is a table of texts');
  const call = crypto.randomUUID();
  const config: CallConfig = { call, direction: "outbound", from: env.TWILIO_FROM, to, ...(parameters && { parameters }) };
  const object = callObject(env, call);
  if (!(await object.readyWithin(config, BOOT))) {
    await object.end("not started");
    return problem(503, "no container became ready; try again, or look at the call's events", call);
  }
  try {
    const sid = await dial(env, {
      to,
      twiml: await streamTwiml(env, call, "outbound"),
      status: `https://${env.PUBLIC_HOST}/status/${call}`,
      limit: settings(env).call,
    });
    await object.dialled(sid);
    return Response.json({ call, sid }, { status: 201 });
  } catch (error) {
    note(call, "Twilio did not dial", { error: kind(error) });
    await object.end("not dialled");
    return problem(502, "Twilio did not dial; check the number, TWILIO_FROM and the account", call);
  }
}

export async function look(env: Env, call: string): Promise<Response> {
  const view = await callObject(env, call).view();
  return view ? Response.json(view) : unknown();
}

export async function kill(request: Request, env: Env, call: string): Promise<Response> {
  const { kill: how } = await body(request);
  if (!isKill(how)) return problem(400, 'say {"kill": "none"}, {"kill": "warm"} or {"kill": "hard"}');
  const done = await callObject(env, call).kill(how);
  return done ? Response.json(done, { status: done.ended && how !== "hard" ? 409 : 200 }) : unknown();
}

/** As JSON, or as a websocket that tells of them as they happen. `?after=` leaves out what is known. */
export async function events(request: Request, env: Env, call: string): Promise<Response> {
  const after = Number(new URL(request.url).searchParams.get("after") ?? 0);
  if (!Number.isInteger(after) || after < 0) return problem(400, '"after" is the number of an event');
  const object = callObject(env, call);
  if (isUpgrade(request)) return object.fetch(new Request(`http://object/events?after=${after}`, request));
  const some = await object.eventsAfter(after);
  return some ? Response.json({ call, events: some }) : unknown();
}

export function problem(status: number, error: string, call?: string): Response {
  return Response.json({ error, ...(call !== undefined && { call }) }, { status });
}

function unknown(): Response {
  return problem(404, "there is no such call");
}

async function body(request: Request): Promise<Record<string, unknown>> {
  const text = await request.text();
  if (text.length > MAX_BODY) return {};
  try {
    const asked: unknown = JSON.parse(text);
    return typeof asked === "object" && asked !== null ? (asked as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

function isTexts(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every((text) => typeof text === "string");
}
