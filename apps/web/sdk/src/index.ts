// darkchat-sdk: what an application uses. Everything else is private to the package.

export { TextError } from "./text/name.ts";
