// A stand-in for the application of ComfyUI's page: what the entry script registers, says and is told of.

const nothing = () => {};

/** The events of the server, and those that scripts dispatch themselves. */
class Events {
  constructor() {
    /** @type {Map<string, ((event: any) => void)[]>} */
    this.listeners = new Map();
    /** Details of the events that scripts have dispatched. */
    this.dispatched = [];
  }

  addEventListener(name, listener) {
    this.listeners.set(name, [...(this.listeners.get(name) ?? []), listener]);
  }

  /** Let an event of the server come in. */
  comes(name, detail) {
    for (const listener of this.listeners.get(name) ?? []) listener({ detail });
  }

  dispatchCustomEvent(name, detail) {
    this.dispatched.push(detail);
    this.comes(name, detail);
  }
}

export const app = {
  /** The graph that is open. @type {any} */
  rootGraph: undefined,
  /** What was registered. @type {any[]} */
  extensions: [],
  /** The messages that were shown. @type {any[]} */
  toasts: [],
  undone: false,
  api: new Events(),
  canvas: { emitBeforeChange: nothing, emitAfterChange: nothing, setDirty: nothing },
  extensionManager: {
    toast: { add: (message) => app.toasts.push(message) },
    workflow: { activeWorkflow: {} },
    command: { execute: async (id) => app.execute(id) },
  },
  registerExtension: (extension) => app.extensions.push(extension),

  /** Give a command: of the entry script, or the one that takes a step back, after which the workflow is not looked at again. */
  execute(id) {
    if (id === "Comfy.Undo") return void (app.undone = true);
    return app.extensions.flatMap(({ commands }) => commands).find((one) => one.id === id).function();
  },
};
