// The Worker: which request goes where.

import { ContainerProxy } from "@cloudflare/containers";

import { allowed, events, kill, look, place, problem } from "./api";
import { isCallId } from "./call";
import { VoiceContainer } from "./container";
import type { Env } from "./env";
import { media, resume, status, voice } from "./phone";

// The runtime looks for both by name; the proxy is what the host's poll of the kill switch goes through.
export { ContainerProxy, VoiceContainer };

export default {
  async fetch(request, env): Promise<Response> {
    const [, root = "", call, rest, ...more] = new URL(request.url).pathname.split("/");
    const route = `${request.method} /${root}${call === undefined ? "" : "/*"}${rest === undefined ? "" : root === "media" ? "/*" : `/${rest}`}`;
    if (more.length > 0 || (call !== undefined && !isCallId(call))) return problem(404, "not found");
    const id = call ?? "";
    if (root === "calls" && !(await allowed(request, env))) return problem(401, "send the API token as a bearer");
    switch (route) {
      case "GET /health":
        return Response.json({ ok: true });
      case "POST /voice":
        return voice(request, env);
      case "GET /media/*/*":
        return media(request, env, id, rest ?? "");
      case "POST /resume/*":
        return resume(request, env, id);
      case "POST /status":
      case "POST /status/*":
        return status(request, env, call);
      case "POST /calls":
        return place(request, env);
      case "GET /calls/*":
        return look(env, id);
      case "POST /calls/*/kill":
        return kill(request, env, id);
      case "GET /calls/*/events":
        return events(request, env, id);
      default:
        return problem(404, "not found");
    }
  },
} satisfies ExportedHandler<Env>;
