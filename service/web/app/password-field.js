/** The field in which users confirm with their current password what they are about to do. */

import { LoaError } from "/client/index.js";
import { Field } from "./form.js";

export function passwordField() {
  return new Field("current_password", (value) => value !== "", { type: "password", autocomplete: "current-password" });
}

/** Await `request`; if it fails because the password is wrong, throw an error that the form shows at the field. */
export async function atPasswordField(request) {
  try {
    return await request;
  } catch (error) {
    if (error.code !== "bad_credentials") throw error;
    throw new LoaError("validation_failed", error.detail, {
      errors: [{ field: "current_password", message: error.detail }],
    });
  }
}
