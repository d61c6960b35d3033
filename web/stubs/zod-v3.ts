/** In place of zod 3, which the AI SDK needs only for tools that run in the browser. */
export const ZodFirstPartyTypeKind = {};
