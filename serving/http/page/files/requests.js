// What requests have in common, whoever answers them: errors, and the query.

/** An answer that is an error: its HTTP status, its code, and a sentence. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The query of a classification, as the page's boxes say. */
export function query({ speech, split }) {
  const asked = { windows: "1", ...(speech && { segments: "speech" }), ...(split && { channels: "split" }) };
  return `?${new URLSearchParams(asked)}`;
}
