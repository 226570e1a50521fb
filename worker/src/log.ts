// The log: what happened to which call. Never a number, never what was said, never a secret.

type Detail = Readonly<Record<string, string | number | boolean>>;

export function note(call: string, message: string, detail: Detail = {}): void {
  console.log(JSON.stringify({ call, message, ...detail }));
}

/** The kind of an error. Its message may quote what failed, so it is not logged. */
export function kind(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
