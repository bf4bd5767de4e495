/**
 * @file The routes of the container manager, for tests of whoever asks for what is another tenant's. A route that is in neither list
 * fails them: whoever adds one says here whether it names a container.
 */
import { WebSocket } from "ws";

/** Those that name a container, and the body that each takes. */
const OF_A_CONTAINER: Readonly<Record<string, object | undefined>> = {
  "GET /api/containers/{id}": undefined,
  "DELETE /api/containers/{id}": undefined,
  "POST /api/containers/{id}/exec": { command: "true" },
  "GET /api/containers/{id}/logs": undefined,
  "POST /api/containers/{id}/logs/ticket": {},
  "POST /api/containers/{id}/setup": { repo: "owner/repo" },
  "POST /api/containers/{id}/start": {},
  "GET /api/containers/{id}/stats": undefined,
  "POST /api/containers/{id}/stop": {},
  "GET /api/containers/{id}/terminal": undefined,
  "POST /api/containers/{id}/terminal/ticket": {},
};

/** Those that name none (the document itself is not in it): what they tell of others is looked for in their answers. */
const OF_NONE: Readonly<Record<string, object | undefined>> = {
  "GET /api/capacity": undefined,
  "GET /api/containers": undefined,
  "POST /api/containers": { name: "x", template: "no-such-template" },
  "POST /api/containers/claim": { template: "no-such-template" },
  "GET /api/images": undefined,
  "GET /api/pool": undefined,
  "GET /health": undefined,
  "GET /ready": undefined,
};

/** A WebSocket, which says by its upgrade that there is none. */
const isSocket = (path: string) => path.endsWith("/terminal");

export interface TenantAsk {
  /** As the OpenAPI document has it, such as `GET /api/containers/{id}`. */
  route: string;
  method: string;
  /** For a container's id. */
  path(id: string): string;
  body: object | undefined;
  socket: boolean;
}

function asks(table: Readonly<Record<string, object | undefined>>): TenantAsk[] {
  return Object.entries(table).map(([route, body]) => {
    const [method = "", pattern = ""] = route.split(" ");
    return { route, method, path: (id) => pattern.replace("{id}", id), body, socket: isSocket(pattern) };
  });
}

export const ofAContainer = asks(OF_A_CONTAINER);
export const ofNone = asks(OF_NONE);
export const knownRoutes = [...ofAContainer, ...ofNone].map(({ route }) => route).sort();

/** The routes of an OpenAPI document. */
export const routesOf = ({ paths }: { paths: Record<string, object> }): string[] =>
  Object.entries(paths)
    .flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`))
    .sort();

/** What the opening of a WebSocket is answered with; 101: it is open, and is closed now. */
export function upgraded(url: string, token: string): Promise<number> {
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } });
  return new Promise((resolve, reject) => {
    socket.on("unexpected-response", (request, { statusCode = 0 }) => {
      request.destroy();
      resolve(statusCode);
    });
    socket.on("open", () => {
      socket.terminate();
      resolve(101);
    });
    socket.on("error", reject);
  });
}
