# Tenant isolation: whoever asks has proved whose request it is, and asks as what they are.
package conductor.isolation

deny contains "it is not proved that the request belongs to the tenant it names" if not input.scope.proven == true

deny contains "the request names no tenant" if not names_tenant

deny contains "the tenant has no policy profile" if not names_profile

# Work is asked for by workloads, changes by operators, and never the other way round.
deny contains "only a workload starts runs and steps" if {
	input.class == "admit"
	not input.principal == "workload"
}

deny contains "only an operator changes what is allowed" if {
	input.class in {"loosen", "irreversible"}
	not input.principal == "operator"
}

deny contains "only runs and steps are admitted" if {
	input.class == "admit"
	not input.operation in {"run.start", "step.start"}
}

deny contains "a run or step is not a change" if {
	not input.class == "admit"
	input.operation in {"run.start", "step.start"}
}

# Rules without arguments: OPA takes `not f(input.x)` as undefined, and not as true, when x is missing.
names_tenant if {
	is_string(input.tenant)
	input.tenant != ""
}

names_profile if {
	is_string(input.profile)
	input.profile != ""
}
