/** Tells how much smaller an image is than the largest stage that it was made from. */
export function reduction(largest, image) {
  if (!(largest > 0) || image > largest) {
    return "not smaller";
  }
  return `${(100 * (1 - image / largest)).toFixed(1)}% smaller`;
}
