export const greeting = (name) => `bundled for the ${name}`;
