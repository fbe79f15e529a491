/**
 * Who sends a request, as far as its headers tell: the subject of the token,
 * which stays when the token is refreshed, or else the credential itself.
 *
 * The token is not verified. It only keeps the keys of two users of one browser
 * apart; the server keeps the users apart.
 */
export function subjectOf(headers: Headers): string {
  const credential = headers.get("authorization") ?? headers.get("apikey") ??
    "";
  try {
    const claims = credential.split(".")[1]!.replaceAll("-", "+")
      .replaceAll("_", "/");
    return JSON.parse(atob(claims)).sub ?? credential;
  } catch {
    return credential;
  }
}
