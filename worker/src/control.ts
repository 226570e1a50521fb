// The control socket to the host's port 9090: the kill switch goes in, what happens comes out.
// The protocol is told in docs/control-protocol.md.

import type { Kill } from "./call";

const VERSION = 1;
const GREET_SECONDS = 5;
/** A longer message is no event of ours. */
const MAX_MESSAGE = 65_536;

export interface Listener {
  readonly call: string;
  /** The highest number of the host's events that is kept already. */
  after(): number;
  event(seq: number, name: string, at: number, detail: Record<string, unknown>): void;
  lost(control: Control): void;
}

export class ControlRefused extends Error {
  override readonly name = "ControlRefused";
}

export class Control {
  private constructor(private readonly socket: WebSocket) {}

  /**
   * Open it and wait for the host's hello.
   *
   * @param port 9090 by getTcpPort: a socket opened by containerFetch counts as traffic, and a container
   *   that has it open never sleeps.
   * @throws ControlRefused The host does not open it, or speaks another version.
   */
  static async open(port: Fetcher, token: string, kill: Kill, listener: Listener): Promise<Control> {
    const response = await port.fetch("http://container/control", {
      headers: { upgrade: "websocket", authorization: `Bearer ${token}` },
    });
    const socket = response.webSocket;
    if (!socket) {
      await response.text();
      throw new ControlRefused(`the host answered ${response.status} instead of opening the control socket`);
    }
    const control = new Control(socket);
    const greeted = control.listen(listener);
    socket.accept();
    control.send({ type: "hello", version: VERSION, call: listener.call, after: listener.after(), kill });
    const late = scheduler.wait(GREET_SECONDS * 1000).then(() => "late");
    if ((await Promise.race([greeted, late])) === "late") {
      control.close();
      throw new ControlRefused(`no hello on the control socket within ${GREET_SECONDS} s`);
    }
    return control;
  }

  /** False when the socket is gone. */
  push(kill: Kill): boolean {
    return this.send({ type: "kill", kill });
  }

  close(): void {
    try {
      this.socket.close(1000, "the call is over");
    } catch {
      // Closed already, by the other side.
    }
  }

  private send(message: Record<string, unknown>): boolean {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  private listen(listener: Listener): Promise<void> {
    return new Promise((resolve, reject) => {
      this.socket.addEventListener("message", ({ data }) => {
        const message = parse(data);
        if (message?.["type"] === "hello") {
          if (message["version"] === VERSION) resolve();
          else reject(new ControlRefused(`the host speaks control version ${String(message["version"])}, this is ${VERSION}`));
        } else if (message?.["type"] === "event") {
          const { seq, name, at, detail } = message;
          if (Number.isInteger(seq) && typeof name === "string" && typeof at === "number") {
            listener.event(seq as number, name, at, isTable(detail) ? detail : {});
          }
        }
      });
      const lost = (): void => {
        reject(new ControlRefused("the control socket closed before the host's hello"));
        listener.lost(this);
      };
      this.socket.addEventListener("close", lost);
      this.socket.addEventListener("error", lost);
    });
  }
}

function parse(data: unknown): Record<string, unknown> | undefined {
  if (typeof data !== "string" || data.length > MAX_MESSAGE) return undefined;
  try {
    const message: unknown = JSON.parse(data);
    return isTable(message) ? message : undefined;
  } catch {
    return undefined;
  }
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
