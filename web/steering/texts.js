// What the pack's nodes say stays on them: newer front ends take a node's text away when the run ends, which is when it is read.

const CATEGORY = "safety steer";
const ENDS = ["execution_success", "execution_error", "execution_interrupted"];
/** The front end takes texts away once it has heard of the end itself. */
const SETTLED_MS = 300;

/** Show what the pack's nodes said again after each run, in the workflow it was said in. @param {any} app */
export function keepTexts(app) {
  const { api } = app;
  /** @type {Map<string, {text: string, workflow: any}>} By the id a node runs under. */
  const said = new Map();
  const workflow = () => app.extensionManager.workflow.activeWorkflow;
  api.addEventListener("progress_text", ({ detail: { nodeId, text } }) => {
    if (isOwn(app, nodeId)) said.set(String(nodeId), { text, workflow: workflow() });
  });
  const again = () => {
    for (const [nodeId, one] of [...said]) {
      if (one.workflow === workflow() && isOwn(app, nodeId)) {
        api.dispatchCustomEvent("progress_text", { nodeId, text: one.text });
      }
    }
  };
  ENDS.forEach((end) => api.addEventListener(end, () => setTimeout(again, SETTLED_MS)));
}

/** Tell whether a node is of this pack, by the id it runs under: "12", or "5:12" in the subgraph of node 5. */
function isOwn(app, nodeId) {
  let graph = app.rootGraph ?? app.graph;
  let node;
  for (const id of String(nodeId).split(":")) {
    node = graph?.getNodeById(id) ?? graph?.getNodeById(Number(id));
    graph = node?.subgraph;
  }
  return node?.constructor?.category === CATEGORY;
}
