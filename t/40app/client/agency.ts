// The organization keeps an agency as well: accounts that lie in one another,
// rows that belong to them, single rows shared with who holds no role there.

import { data, etag, is, none, refused, type Api } from "./kit.js";

async function holds(
  owner: Api, member: Api, account: string, user: string,
): Promise<void> {
  const held = data(await owner.POST("/v1/account-members", {
    body: { account_id: account, user_id: user, role: "account_user" },
  }), 201, "a role in an account");
  is([held.account_id, held.role], [account, "account_user"], "is held there");
  is(data(await member.GET("/v1/profiles"), 200, "its profiles").data.length,
     1, "are seen by who holds it");

  const params = { path: { id: held.id } };
  const read = await owner.GET("/v1/account-members/{id}", { params });
  is(data(read, 200, "the role"), held, "is read");
  is(data(await owner.GET("/v1/account-members", {
    params: { query: { user_id: [user] } },
  }), 200, "what she holds").data.length, 1, "is listed");
  is(data(await owner.GET("/v1/accounts/{id}/members", {
    params: { path: { id: account } },
  }), 200, "who holds a role there").data.length, 1, "too");
  is(data(await owner.PATCH("/v1/account-members/{id}", {
    params: { ...params, header: { "If-Match": etag(read) } },
    body: { role: "account_owner" },
  }), 200, "it is raised").role, "account_owner", "so");
  none(await owner.DELETE("/v1/account-members/{id}", { params }), 204,
       "and taken");
}

async function works(
  owner: Api, account: string, profile: string,
): Promise<void> {
  const work = data(await owner.POST("/v1/works", {
    body: { account_id: account, profile_id: profile, title: "Coats" },
  }), 201, "a piece of work");
  const params = { path: { id: work.id } };
  is(data(await owner.GET("/v1/works/{id}", { params }), 200, "is read"), work,
     "what was made");
  data(await owner.PATCH("/v1/works/{id}", {
    params, body: { title: "Hats" },
  }), 200, "is renamed");
  is(data(await owner.GET("/v1/works", {
    params: { query: { profile_id: [profile] } },
  }), 200, "all of a profile").data.length, 1, "are this one");
  is(data(await owner.GET("/v1/profiles/{id}/works", {
    params: { path: { id: profile } },
  }), 200, "also below the profile").data.length, 1, "are this one");
  is(data(await owner.GET("/v1/works/{id}/history", { params }), 200,
          "its history").data.length, 2, "has two events");
  is(data(await owner.POST("/v1/works/{id}/rollback", {
    params, body: { version: 1 },
  }), 200, "is rolled back").title, "Coats", "to the first title");
  none(await owner.DELETE("/v1/works/{id}", { params }), 204, "is deleted");
}

async function shares(
  owner: Api, member: Api, profile: string, user: string,
): Promise<void> {
  const path = { params: { path: { id: profile } } };
  refused(await member.GET("/v1/profiles/{id}", path), 404, "not_found",
          "a profile of no account of hers");
  const share = data(await owner.POST("/v1/shares", {
    body: { resource: "mono.profile", resource_id: profile, user_id: user },
  }), 201, "is shared");
  is([share.user_id, share.access], [user, "read"], "with her");
  data(await member.GET("/v1/profiles/{id}", path), 200, "who sees it");
  const one = { params: { path: { id: share.id } } };
  is(data(await owner.GET("/v1/shares/{id}", one), 200, "the share"), share,
     "is read");
  is(data(await member.GET("/v1/shares"), 200, "what is shared with her").data
       .map((row) => row.id), [share.id], "is listed");
  none(await owner.DELETE("/v1/shares/{id}", one), 204, "it ends");
  refused(await member.GET("/v1/profiles/{id}", path), 404, "not_found",
          "and it is gone");
}

export async function agency(
  owner: Api, member: Api, user: string,
): Promise<void> {
  const top = data(await owner.POST("/v1/accounts", {
    body: { name: "Agency", kind: "agency" },
  }), 201, "an account");
  const branch = data(await owner.POST("/v1/accounts", {
    body: { name: "Berlin" },
  }), 201, "a second one");
  is([top.parent_id, branch.kind], [null, "team"], "both at the top");
  const params = { path: { id: branch.id } };
  const read = await owner.GET("/v1/accounts/{id}", { params });
  is(data(read, 200, "is read"), branch, "what was made");
  is(data(await owner.PATCH("/v1/accounts/{id}", {
    params: { ...params, header: { "If-Match": etag(read) } },
    body: { parent_id: top.id },
  }), 200, "is moved").parent_id, top.id, "into the first");
  is(data(await owner.GET("/v1/accounts", {
    params: { query: { parent_id: [top.id] } },
  }), 200, "what lies in it").data.map((row) => row.id), [branch.id],
     "is the second");

  const profile = data(await owner.POST("/v1/profiles", {
    body: { account_id: branch.id, display_name: "Anouk" },
  }), 201, "a profile");
  const one = { params: { path: { id: profile.id } } };
  is(data(await owner.GET("/v1/profiles/{id}", one), 200, "is read"), profile,
     "what was made");
  await shares(owner, member, profile.id, user);
  await holds(owner, member, branch.id, user);
  await works(owner, branch.id, profile.id);

  data(await owner.PATCH("/v1/profiles/{id}", {
    ...one, body: { display_name: "Anouk A." },
  }), 200, "is renamed");
  is(data(await owner.POST("/v1/profiles/{id}/publish", one), 200,
          "is shown to the world").status, "published", "by its action");
  is(data(await owner.GET("/v1/profiles/{id}/history", one), 200,
          "its history").data.length, 3, "has three events");
  is(data(await owner.POST("/v1/profiles/{id}/rollback", {
    ...one, body: { version: 2 },
  }), 200, "is rolled back").display_name, "Anouk A.", "to a version");
  none(await owner.DELETE("/v1/profiles/{id}", one), 204, "is deleted");
  data(await owner.POST("/v1/profiles/{id}/restore", one), 200, "restored");
  none(await owner.DELETE("/v1/profiles/{id}", one), 204, "and deleted");
  none(await owner.DELETE("/v1/accounts/{id}", { params }), 204,
       "an account that holds nothing goes");
}
