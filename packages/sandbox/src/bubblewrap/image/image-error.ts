/** Why an archive is no image that a sandbox can have; a sentence for its user. */
export class ImageError extends Error {
  readonly code = "image_refused";
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ImageError";
  }
}
