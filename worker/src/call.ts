// One call: what it is, and what its object remembers of it.

import { random } from "./mac";

export type Kill = "none" | "warm" | "hard";

/** What a call is begun with. `call` is the name of its object: Twilio's id, or our own for a call that we dial. */
export interface CallConfig {
  call: string;
  direction: "inbound" | "outbound";
  from?: string;
  to?: string;
  /** Told to the host with the call; of no meaning here. */
  parameters?: Record<string, string>;
}

export interface Ending {
  reason: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** How often a dropped stream may come back. */
const RESUMES = 3;

const CALL = /^[A-Za-z0-9_-]{1,64}$/;

export function isCallId(text: string | undefined): text is string {
  return text !== undefined && CALL.test(text);
}

export function isKill(text: unknown): text is Kill {
  return text === "none" || text === "warm" || text === "hard";
}

/** The memory of one call, which outlives a restart of its object. */
export class CallRecord {
  constructor(private readonly storage: DurableObjectStorage) {
    storage.sql.exec("CREATE TABLE IF NOT EXISTS tickets (ticket TEXT PRIMARY KEY)");
  }

  get config(): CallConfig | undefined {
    return this.get("config");
  }

  /** The first one counts. */
  begin(config: CallConfig): void {
    if (this.config) return;
    this.put("config", config);
    this.put("began", Date.now());
    this.put("controlToken", random(24));
    this.put("mediaToken", random(24));
  }

  get began(): number {
    return this.get("began") ?? 0;
  }

  /** The bearer of the host's control port. */
  get controlToken(): string {
    return this.get("controlToken") ?? "";
  }

  /** With which the object opens the stream at the host; the caller's own ticket ends here. */
  get mediaToken(): string {
    return this.get("mediaToken") ?? "";
  }

  /** Twilio's id of the call. */
  get sid(): string | undefined {
    return this.get("sid");
  }

  set sid(sid: string) {
    this.put("sid", sid);
  }

  /** Whether the host has taken the call. */
  get ready(): boolean {
    return this.get("ready") ?? false;
  }

  set ready(ready: boolean) {
    this.put("ready", ready);
  }

  get kill(): Kill {
    return this.get("kill") ?? "none";
  }

  set kill(kill: Kill) {
    this.put("kill", kill);
  }

  get ended(): Ending | undefined {
    return this.get("ended");
  }

  end(reason: string): void {
    this.put("ended", { reason, at: Date.now() } satisfies Ending);
  }

  /** Use a ticket. False when it was used before. */
  spend(ticket: string): boolean {
    return this.storage.sql.exec("INSERT OR IGNORE INTO tickets (ticket) VALUES (?) RETURNING ticket", ticket).toArray().length === 1;
  }

  /** How many streams there were; a call has begun with the first. */
  get streams(): number {
    return this.storage.sql.exec<{ n: number }>("SELECT count(*) AS n FROM tickets").one().n;
  }

  get resumes(): number {
    return this.get("resumes") ?? 0;
  }

  /** Let a dropped stream come back. False when it did so often enough. */
  resume(): boolean {
    if (this.resumes >= RESUMES) return false;
    this.put("resumes", this.resumes + 1);
    return true;
  }

  forget(): void {
    this.storage.sql.exec("DELETE FROM tickets");
    for (const key of KEYS) this.storage.kv.delete(key);
  }

  private get<T>(key: Key): T | undefined {
    return this.storage.kv.get<T>(key);
  }

  private put(key: Key, value: unknown): void {
    this.storage.kv.put(key, value);
  }
}

const KEYS = ["config", "began", "controlToken", "mediaToken", "sid", "ready", "kill", "ended", "resumes"] as const;
type Key = (typeof KEYS)[number];
