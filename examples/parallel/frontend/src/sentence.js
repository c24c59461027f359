/** Tells the next tide in words. */
export const sentence = ({ kind, minutes }) =>
  minutes === 0 ? `${kind} water now` : `${kind} water in ${minutes} min`;
