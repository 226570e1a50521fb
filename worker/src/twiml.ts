// What Twilio is told to do with a call.

function answer(...verbs: string[]): string {
  return `<?xml version="1.0" encoding="UTF-8"?><Response>${verbs.join("")}</Response>`;
}

/**
 * Put the caller on the line.
 *
 * @param next Where Twilio asks when the stream is over: the call may have ended, or only the stream.
 */
export function connectStream(url: string, parameters: Readonly<Record<string, string>>, next: string): string {
  const told = Object.entries(parameters).map(([name, value]) => `<Parameter name="${escaped(name)}" value="${escaped(value)}"/>`);
  return answer(`<Connect><Stream url="${escaped(url)}">${told.join("")}</Stream></Connect>`, redirect(next));
}

/** Keep the phone ringing a second more: a leading <Pause> delays the pick-up. */
export function ringOn(next: string): string {
  return answer('<Pause length="1"/>', redirect(next));
}

export function sayAndHangUp(text: string): string {
  return answer(`<Say>${escaped(text)}</Say>`, "<Hangup/>");
}

export function hangUp(): string {
  return answer("<Hangup/>");
}

function redirect(url: string): string {
  return `<Redirect method="POST">${escaped(url)}</Redirect>`;
}

function escaped(text: string): string {
  return text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
