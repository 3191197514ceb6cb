// What is used of node besides what browsers have.

declare const process: {
  readonly env: Readonly<Record<string, string | undefined>>;
  exitCode: number | undefined;
  once(signal: "SIGTERM" | "SIGINT", then: () => void): void;
};

declare module "node:http" {
  export interface IncomingMessage {
    readonly method?: string;
    readonly url?: string;
    readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  }
  export interface ServerResponse {
    writeHead(status: number, headers: Record<string, string | number>): this;
    end(body: string): this;
  }
  export interface Server {
    listen(port: number, host: string, then: () => void): this;
    address(): { readonly port: number };
    on(event: "error", then: (error: Error) => void): this;
    close(): this;
    closeIdleConnections(): void;
  }
  export function createServer(answer: (request: IncomingMessage, response: ServerResponse) => void): Server;
}
