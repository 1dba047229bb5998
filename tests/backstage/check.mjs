// Reads a catalogue as YAML from standard input and holds each entity against Backstage's own model: `node check.mjs <catalogue.yaml`.
// Prints each entity's reference; ends with 1 where one is refused.
import { readFileSync } from "node:fs";
import {
  DefaultNamespaceEntityPolicy, EntityPolicies, FieldFormatEntityPolicy, NoForeignRootFieldsEntityPolicy, SchemaValidEntityPolicy,
  apiEntityV1alpha1Validator, componentEntityV1alpha1Validator, domainEntityV1alpha1Validator, groupEntityV1alpha1Validator,
  locationEntityV1alpha1Validator, resourceEntityV1alpha1Validator, stringifyEntityRef, systemEntityV1alpha1Validator,
  userEntityV1alpha1Validator,
} from "@backstage/catalog-model";
import { parseAllDocuments } from "yaml";

const kinds = [
  apiEntityV1alpha1Validator, componentEntityV1alpha1Validator, domainEntityV1alpha1Validator, groupEntityV1alpha1Validator,
  locationEntityV1alpha1Validator, resourceEntityV1alpha1Validator, systemEntityV1alpha1Validator, userEntityV1alpha1Validator,
];
const policy = EntityPolicies.allOf([
  new SchemaValidEntityPolicy(), new DefaultNamespaceEntityPolicy(), new NoForeignRootFieldsEntityPolicy(), new FieldFormatEntityPolicy(),
]);

let refused = 0;
for (const document of parseAllDocuments(readFileSync(0, "utf8"))) {
  const entity = document.toJS();
  if (!entity) continue;
  try {
    const accepted = await policy.enforce(entity);
    const known = await Promise.all(kinds.map(kind => kind.check(accepted)));
    if (!known.some(Boolean)) throw new Error(`Backstage knows no kind ${entity.kind} of ${entity.apiVersion}`);
    console.log(stringifyEntityRef(accepted));
  } catch (error) {
    refused += 1;
    console.error(`${entity.kind} ${entity.metadata?.name}: ${error.message}`);
  }
}
process.exitCode = refused === 0 ? 0 : 1;
