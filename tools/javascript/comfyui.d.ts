// What the pack's scripts use of ComfyUI's front end, which has no types of its own to install.

declare module "*/scripts/app.js" {
  export const app: any;
}

declare const LiteGraph: {
  createNode(type: string): any;
  vueNodesMode?: boolean;
};
