import type { Actor } from "./stack.ts";

/** Creates an organisation of one user, with colleagues; answers its id. */
export async function newOrganization(
  { client }: Actor,
  ...colleagues: Actor[]
): Promise<string> {
  const { data: organization } = await client.rpc("create_organization", {
    p_name: "Travel Ltd",
  }).throwOnError();
  if (colleagues.length > 0) {
    await client.from("organization_members").insert(
      colleagues.map(({ userId }) => ({
        organization_id: organization,
        user_id: userId!,
      })),
    ).throwOnError();
  }
  return organization;
}
