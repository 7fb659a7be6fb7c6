/** Pictures that become avatars: the square in the middle of an image, as small as it is shown. */

/** Pixels; the server's thumbnails are as large. */
const SIZE = 480;
const QUALITY = 0.9;

/**
 * Return the square as a JPEG, upright. An image that this browser does not know is returned as it is: the server may know
 * it, and avatars are cropped when they are shown, too.
 */
export async function squareImage(file) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    return file;
  }
  const side = Math.min(image.width, image.height);
  const size = Math.min(side, SIZE);
  const canvas = document.createElement("canvas");
  canvas.width = size;
  canvas.height = size;
  const context = canvas.getContext("2d");
  // A JPEG has no transparency, which would become black.
  context.fillStyle = "white";
  context.fillRect(0, 0, size, size);
  context.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, size, size);
  image.close();
  return new Promise((resolve) => canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", QUALITY));
}
