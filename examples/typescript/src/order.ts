import { z } from "zod";

const Order = z.object({
  item: z.string().min(1),
  count: z.coerce.number().int().positive(),
});

export type Order = z.infer<typeof Order>;

/** Reads an order from a query string, and says what is wrong with one that is none. */
export function readOrder(query: string): { order: Order } | { problems: string[] } {
  const parsed = Order.safeParse(Object.fromEntries(new URLSearchParams(query)));
  if (parsed.success) {
    return { order: parsed.data };
  }
  return { problems: parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`) };
}
