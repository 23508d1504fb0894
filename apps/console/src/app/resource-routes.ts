/** The pages of what sessions are made from: agents, environments, vaults and so on. Each is loaded when it is opened. */
export const resourceRoutes = [] as const;
