// Whether a request is Twilio's.

import type { Env } from "./env";
import { base64, hmac, same } from "./mac";

/**
 * Twilio signs the URL that it was given, with the form's fields behind it in order of their names. On the
 * upgrade of a stream that URL begins with wss:// and nothing follows it.
 */
export async function fromTwilio(request: Request, env: Env, form: Readonly<Record<string, string>> = {}): Promise<boolean> {
  const { pathname, search } = new URL(request.url);
  const scheme = isUpgrade(request) ? "wss" : "https";
  const fields = Object.keys(form).sort().map((name) => name + (form[name] ?? "")).join("");
  const wanted = await hmac("SHA-1", env.TWILIO_AUTH_TOKEN, `${scheme}://${env.PUBLIC_HOST}${pathname}${search}${fields}`);
  return same(request.headers.get("x-twilio-signature") ?? "", base64(wanted));
}

export function isUpgrade(request: Request): boolean {
  return request.headers.get("upgrade")?.toLowerCase() === "websocket";
}
