// The events of one call, in order. They can hold what was said, so they go to whoever has the API
// token, never to the log.

export interface Event {
  seq: number;
  /** Milliseconds since 1970, when the object learned of it. */
  at: number;
  name: string;
  detail: Record<string, unknown>;
}

interface Row extends Record<string, SqlStorageValue> {
  seq: number;
  at: number;
  name: string;
  detail: string;
}

const PAGE = 1000;

export class Events {
  constructor(private readonly sql: SqlStorage) {
    sql.exec(
      "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL, host INTEGER UNIQUE)",
    );
  }

  /**
   * @param host The host's own number for it; a number that is known already is not written again.
   * @returns Nothing, when it was known.
   */
  add(name: string, detail: Record<string, unknown> = {}, host: number | null = null): Event | undefined {
    const rows = this.sql.exec<Row>(
      "INSERT OR IGNORE INTO events (at, name, detail, host) VALUES (?, ?, ?, ?) RETURNING seq, at, name, detail",
      Date.now(), name, JSON.stringify(detail), host,
    );
    return rows.toArray().map(event)[0];
  }

  /** Up to 1000 of those behind a sequence number. */
  after(seq: number): Event[] {
    return this.sql.exec<Row>("SELECT seq, at, name, detail FROM events WHERE seq > ? ORDER BY seq LIMIT ?", seq, PAGE).toArray().map(event);
  }

  /** The highest number of the host's that came. */
  heardFromHost(): number {
    return this.sql.exec<{ last: number }>("SELECT coalesce(max(host), 0) AS last FROM events").one().last;
  }

  happened(name: string): boolean {
    return this.sql.exec("SELECT 1 FROM events WHERE name = ? LIMIT 1", name).toArray().length > 0;
  }

  forget(): void {
    this.sql.exec("DELETE FROM events");
  }
}

function event(row: Row): Event {
  return { seq: row.seq, at: row.at, name: row.name, detail: JSON.parse(row.detail) as Record<string, unknown> };
}
