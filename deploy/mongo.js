// Makes MongoDB ready for Petrel: the replica set, its administrator `root`, and
// the user `petrel`, who may read and write one database. Run again, it finds
// all that done and only sets the password of `petrel` to the one in .env.
//
// mongosh runs it in the network of the first member (compose.yaml, `directory`).

const { PETREL_MONGO_PASSWORD, PETREL_MONGO_ROOT_PASSWORD } = process.env;
const SET = "petrel";
const HOSTS = ["mongo-1:27017", "mongo-2:27017", "mongo-3:27017"];
const PATIENCE_MS = 60_000;
const PAUSE_MS = 500;
const AUTHENTICATION_FAILED = 18;
const ALREADY_INITIALIZED = 23;
const USER_NOT_FOUND = 11;
const UNAUTHORIZED = 13;

// The first member, without a name: for what MongoDB allows to whoever comes
// from its own machine while it has no administrator.
const first = () => new Mongo("mongodb://127.0.0.1:27017/?directConnection=true").getDB("admin");

function tolerating(code, act) {
  try {
    // mongosh waits for a result where it is named, and not where it is returned.
    const result = act();
    return result;
  } catch (error) {
    if (error.code !== code) throw error;
  }
}

function initiate() {
  if (first().hello().setName) return;
  print(`making the replica set ${SET}`);
  // The first member has to become the primary: only there the administrator
  // can be made. A little priority settles it.
  const members = HOSTS.map((host, _id) => ({ _id, host, priority: _id === 0 ? 2 : 1 }));
  tolerating(ALREADY_INITIALIZED, () => first().adminCommand({ replSetInitiate: { _id: SET, members } }));
}

function awaitPrimary() {
  const deadline = Date.now() + PATIENCE_MS;
  while (!first().hello().primary) {
    if (Date.now() > deadline) throw new Error(`no primary within ${PATIENCE_MS} ms`);
    sleep(PAUSE_MS);
  }
}

function hasAdministrator() {
  return tolerating(AUTHENTICATION_FAILED, () => first().auth("root", PETREL_MONGO_ROOT_PASSWORD)) !== undefined;
}

function makeAdministrator() {
  const deadline = Date.now() + PATIENCE_MS;
  while (!first().hello().isWritablePrimary) {
    if (Date.now() > deadline) throw new Error(`${HOSTS[0]} is not the primary`);
    sleep(PAUSE_MS);
  }
  print("making the user root");
  const root = { user: "root", pwd: PETREL_MONGO_ROOT_PASSWORD, roles: ["root"] };
  const made = tolerating(UNAUTHORIZED, () => first().createUser(root) ?? true);
  if (made === undefined) throw new Error("there is a root already, with another password than .env has");
}

function setUser() {
  const whole = `mongodb://root:${PETREL_MONGO_ROOT_PASSWORD}@${HOSTS}/?replicaSet=${SET}&authSource=admin`;
  const petrel = new Mongo(whole).getDB("petrel");
  const pwd = PETREL_MONGO_PASSWORD;
  const roles = [{ role: "readWrite", db: "petrel" }];
  const found = tolerating(USER_NOT_FOUND, () => petrel.updateUser("petrel", { pwd, roles }) ?? true);
  if (found === undefined) {
    print("making the user petrel");
    petrel.createUser({ user: "petrel", pwd, roles });
  }
}

initiate();
awaitPrimary();
if (!hasAdministrator()) makeAdministrator();
setUser();
print("MongoDB is ready");
