// The ticket with which a media stream gets in: for one call, for two minutes, once.
//
// It travels in the path, because <Stream url> supports no query. The Worker checks it before any
// object is woken; the object remembers which ones were used.

import { base64url, hmac, random, same } from "./mac";

/** @param seconds How long it is valid. */
export async function ticket(secret: string, call: string, seconds: number): Promise<string> {
  const head = `${Math.ceil(Date.now() / 1000 + seconds)}.${random(12)}`;
  return `${head}.${await seal(secret, call, head)}`;
}

export async function ticketHolds(secret: string, call: string, given: string): Promise<boolean> {
  const [until, nonce, mac, ...more] = given.split(".");
  if (!until || !nonce || !mac || more.length > 0) return false;
  return (await same(mac, await seal(secret, call, `${until}.${nonce}`))) && Number(until) * 1000 > Date.now();
}

async function seal(secret: string, call: string, head: string): Promise<string> {
  return base64url(await hmac("SHA-256", secret, `${call}.${head}`));
}
