// The Durable Object of one call, and the container in which its host runs.

import { Container } from "@cloudflare/containers";

import { type CallConfig, CallRecord, type Ending, type Kill } from "./call";
import { Control, type Listener } from "./control";
import { type Env, type Settings, hostEnvironment, settings } from "./env";
import { Events } from "./events";
import { kind, note } from "./log";
import { hangUpAtTwilio } from "./twilio";

const AUDIO = 8080;
const CONTROL = 9090;
const HEALTH_EVERY_MS = 400;
/** The host says goodbye at the limit; the object ends the call when it did not. Seconds. */
const GOODBYE = 5;
/** From the end of a call to SIGTERM, in seconds: time for the last events. */
const LINGER = 2;
const LINGER_KILLED = 1;

export interface CallView {
  call: string;
  direction: string;
  state: "booting" | "ready" | "live" | "ended";
  kill: Kill;
  began: number;
  resumes: number;
  ended: Ending | null;
}

export class NotStarted extends Error {
  override readonly name = "NotStarted";
}

export class VoiceContainer extends Container<Env> {
  override defaultPort = AUDIO;
  override requiredPorts = [AUDIO, CONTROL];
  // Any answer at all counts as "the port is open"; whether the host is ready is asked after that.
  override pingEndpoint = "container/health";

  private readonly record: CallRecord;
  private readonly events: Events;
  private readonly settings: Settings;
  private boot: Promise<void> | undefined;
  private control: Control | undefined;

  constructor(ctx: DurableObjectState<{}>, env: Env) {
    super(ctx, env);
    this.settings = settings(env);
    this.sleepAfter = this.settings.sleepAfter;
    this.record = new CallRecord(ctx.storage);
    this.events = new Events(ctx.storage.sql);
    // The object was restarted under a live call, by a deploy for example.
    if (ctx.container?.running && this.record.ready && !this.record.ended) ctx.waitUntil(this.reopenControl());
  }

  // Beginning a call

  /**
   * Boot the container and hand it the call. Whoever asks again waits for the same boot.
   *
   * @throws NotStarted There is no container, it never became ready, or the call is over.
   */
  startCall(config: CallConfig): Promise<void> {
    this.boot ??= this.begin(config).catch(async (error: unknown) => {
      this.boot = undefined;
      this.add("start.failed", { error: kind(error), what: error instanceof NotStarted ? error.message : "" });
      note(config.call, "the container did not start", { error: kind(error) });
      await this.destroy().catch(() => undefined);
      throw error;
    });
    return this.boot;
  }

  /** Whether the call can be taken within so many seconds. A boot that takes longer goes on. */
  async readyWithin(config: CallConfig, seconds: number): Promise<boolean> {
    const ready = this.startCall(config).then(() => true, () => false);
    return Promise.race([ready, scheduler.wait(seconds * 1000).then(() => false)]);
  }

  private async begin(config: CallConfig): Promise<void> {
    this.refuseIfOver();
    if (!this.record.config) {
      this.record.begin(config);
      if (config.direction === "inbound") this.record.sid = config.call;
      await this.limit(this.settings.port + this.settings.ready);
    }
    if (this.record.ready && this.ctx.container?.running) return;
    this.record.ready = false;
    const began = Date.now();
    // The idle clock runs during a boot too, and would end one that is slower than sleepAfter.
    const awake = setInterval(() => this.renewActivityTimeout(), 1000);
    try {
      await this.openPorts();
      this.refuseIfOver();
      await this.untilHealthy();
      await this.init(config);
      await this.openControl();
      this.refuseIfOver();
    } finally {
      clearInterval(awake);
    }
    this.record.ready = true;
    await this.limit();
    this.renewActivityTimeout();
    this.add("container.ready", { seconds: (Date.now() - began) / 1000 });
    note(config.call, "the container is ready", { seconds: (Date.now() - began) / 1000 });
  }

  private async openPorts(): Promise<void> {
    const limit = this.settings.port * 1000;
    await this.startAndWaitForPorts({
      ports: [AUDIO, CONTROL],
      // The two limits count tries, not time, and a try may take 5 s: the signal is the deadline.
      cancellationOptions: { abort: AbortSignal.timeout(limit), instanceGetTimeoutMS: limit, portReadyTimeoutMS: limit },
      startOptions: {
        labels: { call: this.record.config?.call ?? "" },
        envVars: { ...hostEnvironment(this.env), TIPRING_CONTROL_TOKEN: this.record.controlToken },
      },
    });
  }

  /** By getTcpPort, as all of the object's own requests: an unread answer to containerFetch would count as traffic for ever. */
  private async untilHealthy(): Promise<void> {
    const until = Date.now() + this.settings.ready * 1000;
    while (!(await this.healthy())) {
      this.refuseIfOver();
      if (!this.ctx.container?.running) throw new NotStarted("the container stopped before it was ready");
      if (Date.now() > until) throw new NotStarted(`the host was not ready within ${this.settings.ready} s`);
      await scheduler.wait(HEALTH_EVERY_MS);
    }
  }

  private async healthy(): Promise<boolean> {
    try {
      const response = await this.port(AUDIO).fetch("http://container/health", { signal: AbortSignal.timeout(2000) });
      const { ok, ready, problems } = await response.json<{ ok?: unknown; ready?: unknown; problems?: unknown }>();
      if (ok !== true || ready !== true) return false;
      if (Array.isArray(problems) && problems.length > 0) this.add("host.problems", { problems });
      return true;
    } catch {
      return false;
    }
  }

  private async init(config: CallConfig): Promise<void> {
    const response = await this.port(AUDIO).fetch("http://container/init", {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${this.record.controlToken}` },
      body: JSON.stringify({
        version: 1,
        ...config,
        ttl: this.settings.call,
        media_token: this.record.mediaToken,
        kill_url: "http://control.internal/kill",
      }),
      signal: AbortSignal.timeout(10_000),
    });
    await response.text();
    if (!response.ok) throw new NotStarted(`the host answered ${response.status} to /init`);
  }

  private refuseIfOver(): void {
    if (this.record.ended) throw new NotStarted("the call is over");
  }

  private port(number: number): Fetcher {
    if (!this.ctx.container) throw new NotStarted("there is no container");
    return this.ctx.container.getTcpPort(number);
  }

  // The control socket

  private async openControl(): Promise<void> {
    const listener: Listener = {
      call: this.record.config?.call ?? "",
      after: () => this.events.heardFromHost(),
      event: (seq, name, at, detail) => this.hear(seq, name, at, detail),
      lost: (control) => {
        if (this.control !== control) return;
        this.control = undefined;
        this.ctx.waitUntil(this.reopenControl());
      },
    };
    this.control = await Control.open(this.port(CONTROL), this.record.controlToken, this.record.kill, listener);
  }

  /** The host's socket can be lost while the call goes on; the host resends what was not heard. */
  private async reopenControl(): Promise<void> {
    for (let wait = 250; !this.control && !this.record.ended && this.ctx.container?.running; wait = Math.min(2 * wait, 5000)) {
      await scheduler.wait(wait);
      await this.openControl().then(() => this.add("control.reopened"), () => undefined);
    }
  }

  private hear(seq: number, name: string, at: number, detail: Record<string, unknown>): void {
    if (!this.add(name, { ...detail, at }, seq)) return;
    if (name !== "call.ended") return;
    // When it ended before its stream came, Twilio comes to /resume and the caller is told, or nobody has picked up yet.
    const begun = this.events.happened("call.began");
    const reason = begun ? String(detail["reason"] ?? "the host ended it") : "container stopped";
    this.ctx.waitUntil(this.end(reason, { hangUp: !begun && this.record.config?.direction === "outbound" }));
  }

  // Killing and ending

  /** @returns Nothing, when there is no such call. */
  async kill(kill: Kill): Promise<{ call: string; kill: Kill; delivered: boolean; ended: boolean } | undefined> {
    const call = this.record.config?.call;
    if (call === undefined) return undefined;
    let delivered = false;
    if (!this.record.ended) {
      this.record.kill = kill;
      delivered = this.control?.push(kill) ?? false;
      this.add("kill", { kill, delivered });
      note(call, "the kill switch was set", { kill, delivered });
      // The host's own poll fails open, so it cannot be the only guard.
      if (kill === "hard") await this.end("killed", { hangUp: true, linger: LINGER_KILLED });
    }
    return { call, kill: this.record.kill, delivered, ended: this.record.ended !== undefined };
  }

  killSwitch(): { kill: Kill } {
    return { kill: this.record.kill };
  }

  /** End the call, once: the container is stopped, and its events go when their time is over. */
  async end(reason: string, { hangUp = false, linger = LINGER } = {}): Promise<void> {
    const call = this.record.config?.call;
    if (call === undefined || this.record.ended) return;
    this.record.end(reason);
    this.add("call.over", { reason });
    note(call, "the call is over");
    if (hangUp) this.ctx.waitUntil(this.hangUp());
    this.deleteSchedules("onTimeUp");
    await this.schedule(linger, "stopContainer");
    await this.schedule(this.settings.events, "purge");
  }

  /** Twilio knows the call by this; a call that was ended while it was dialled is hung up. */
  async dialled(sid: string): Promise<void> {
    this.record.sid = sid;
    if (this.record.ended) await this.hangUp();
  }

  private async hangUp(): Promise<void> {
    const { sid } = this.record;
    if (sid === undefined) return;
    await hangUpAtTwilio(this.env, sid).catch((error: unknown) => {
      this.add("hang_up.failed", { error: kind(error) });
      note(this.record.config?.call ?? "", "Twilio did not hang up", { error: kind(error) });
    });
  }

  /** @param boot Seconds that a boot may take, which the call does not lose. */
  private async limit(boot = 0): Promise<void> {
    this.deleteSchedules("onTimeUp");
    await this.schedule(boot + this.settings.call + GOODBYE, "onTimeUp");
  }

  // What the schedule calls

  async onTimeUp(): Promise<void> {
    await this.end("time limit", { hangUp: true });
  }

  async stopContainer(): Promise<void> {
    if (!this.ctx.container?.running) return;
    this.control?.close();
    await this.stop();
    await this.schedule(this.settings.stop, "reap");
  }

  /** A host that does not heed SIGTERM would be paid for until the platform ends it. */
  async reap(): Promise<void> {
    if (!this.ctx.container?.running) return;
    this.add("container.reaped");
    await this.destroy();
  }

  /** Rows and keys, not the tables: the base class deletes this schedule from its own afterwards. */
  purge(): void {
    this.events.forget();
    this.record.forget();
    for (const socket of this.ctx.getWebSockets("events")) socket.close(1000, "forgotten");
  }

  // What the container does

  override async onStop({ exitCode }: { exitCode: number }): Promise<void> {
    this.control = undefined;
    this.add("container.stopped", { code: exitCode });
    // Not hung up: Twilio comes to /resume when the stream breaks, and the caller is told.
    if (this.record.ready) await this.end("container stopped");
  }

  override onError(error: unknown): void {
    this.add("container.failed", { error: kind(error) });
  }

  override async onActivityExpired(): Promise<void> {
    // Of a call that is over, the end stops the container; another SIGTERM would come on top of that one.
    if (this.record.config) await this.end("idle");
    else await this.stop();
  }

  // Streams and dashboards

  /**
   * What Twilio does when a stream is over.
   *
   * @returns `live`: it may open another. `lost`: it may not, and the caller should be told.
   */
  async resume(): Promise<"live" | "lost" | "over"> {
    const ended = this.record.ended;
    if (!this.record.config || (ended && ended.reason !== "container stopped")) return "over";
    if (ended || !this.ctx.container?.running || !this.record.resume()) {
      await this.end("stream lost");
      return "lost";
    }
    this.add("stream.resumed", { count: this.record.resumes });
    return "live";
  }

  /** What Twilio says of the call. */
  async status(status: string, answeredBy: string): Promise<void> {
    if (!this.record.config) return;
    this.add("phone.status", { status, ...(answeredBy && { answered_by: answeredBy }) });
    if (["completed", "busy", "failed", "no-answer", "canceled"].includes(status)) await this.end(status);
  }

  view(): CallView | undefined {
    const { config, ended, ready, kill, began, resumes, streams } = this.record;
    if (!config) return undefined;
    const state = ended ? "ended" : streams > 0 ? "live" : ready ? "ready" : "booting";
    return { call: config.call, direction: config.direction, state, kill, began, resumes, ended: ended ?? null };
  }

  eventsAfter(seq: number): ReturnType<Events["after"]> | undefined {
    return this.record.config && this.events.after(seq);
  }

  /** Reached through the Worker only, which has checked who asks: `/media/…` or `/events`. */
  override async fetch(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const [, what, , ticket = ""] = url.pathname.split("/");
    return what === "media" ? this.stream(request, ticket) : this.watch(Number(url.searchParams.get("after") ?? 0));
  }

  private async stream(request: Request, ticket: string): Promise<Response> {
    const { config } = this.record;
    if (!config) return new Response("there is no such call", { status: 404 });
    const first = this.record.streams === 0;
    if (!this.record.spend(ticket)) return new Response("this ticket was used", { status: 409 });
    if (this.record.ended) return new Response("the call is over", { status: 410 });
    await this.startCall(config);
    if (first) await this.limit();
    this.add("stream.opened");
    const headers = new Headers(request.headers);
    // The base class takes the port from this, whoever sent it.
    headers.delete("cf-container-target-port");
    return this.containerFetch(new Request(`http://container/media/${config.call}/${this.record.mediaToken}`, { headers }), AUDIO);
  }

  private watch(after: number): Response {
    if (!this.record.config) return new Response("there is no such call", { status: 404 });
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server, ["events"]);
    for (const event of this.events.after(after)) server.send(JSON.stringify(event));
    return new Response(null, { status: 101, webSocket: client });
  }

  override webSocketMessage(): void {
    // A dashboard only listens.
  }

  override webSocketClose(socket: WebSocket): void {
    socket.close(1000);
  }

  /** Write an event down, and tell whoever watches. */
  private add(name: string, detail: Record<string, unknown> = {}, host: number | null = null): boolean {
    const event = this.events.add(name, detail, host);
    if (!event) return false;
    for (const socket of this.ctx.getWebSockets("events")) {
      try {
        socket.send(JSON.stringify(event));
      } catch {
        // It left; the runtime forgets it.
      }
    }
    return true;
  }
}

// An assignment and not a static field: the base class has a setter, which a field would cover up.
VoiceContainer.outboundByHost = {
  "control.internal": async (request: Request, env: unknown, { containerId }: { containerId: string }) => {
    const { VOICE } = env as Env;
    if (new URL(request.url).pathname !== "/kill") return new Response("not found", { status: 404 });
    return Response.json(await VOICE.get(VOICE.idFromString(containerId)).killSwitch());
  },
};
