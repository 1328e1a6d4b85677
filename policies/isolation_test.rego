package conductor.isolation_test

import data.conductor.fixtures_test as f
import data.conductor.isolation

test_scope_proven if {
	every v in array.concat(f.wrong, [false]) {
		"it is not proved that the request belongs to the tenant it names" in isolation.deny with input as object.union(f.admission, {"scope": {"proven": v}})
	}
	"it is not proved that the request belongs to the tenant it names" in isolation.deny with input as object.union(object.remove(f.admission, ["scope"]), {"scope": {}})
	"it is not proved that the request belongs to the tenant it names" in isolation.deny with input as object.remove(f.admission, ["scope"])
	not "it is not proved that the request belongs to the tenant it names" in isolation.deny with input as f.admission
}

test_tenant if {
	every v in ["", null, 1, []] {
		"the request names no tenant" in isolation.deny with input as object.union(f.admission, {"tenant": v})
	}
	"the request names no tenant" in isolation.deny with input as object.remove(f.admission, ["tenant"])
	not "the request names no tenant" in isolation.deny with input as f.admission
}

test_profile if {
	every v in ["", null, 1, []] {
		"the tenant has no policy profile" in isolation.deny with input as object.union(f.admission, {"profile": v})
	}
	"the tenant has no policy profile" in isolation.deny with input as object.remove(f.admission, ["profile"])
	not "the tenant has no policy profile" in isolation.deny with input as f.admission
}

test_only_workloads_start_work if {
	every p in ["operator", "", null, "agent"] {
		"only a workload starts runs and steps" in isolation.deny with input as object.union(f.admission, {"principal": p})
	}
	not "only a workload starts runs and steps" in isolation.deny with input as f.admission
	not "only a workload starts runs and steps" in isolation.deny with input as f.change
}

test_only_operators_change_things if {
	every c in [f.change, f.irreversible] {
		"only an operator changes what is allowed" in isolation.deny with input as object.union(c, {"principal": "workload"})
		not "only an operator changes what is allowed" in isolation.deny with input as c
	}
}

test_only_work_is_admitted if {
	"only runs and steps are admitted" in isolation.deny with input as object.union(f.admission, {"operation": "ramp.set"})
	"only runs and steps are admitted" in isolation.deny with input as object.remove(f.admission, ["operation"])
	not "only runs and steps are admitted" in isolation.deny with input as f.admission
}

test_work_is_no_change if {
	every o in ["run.start", "step.start"] {
		"a run or step is not a change" in isolation.deny with input as object.union(f.change, {"operation": o})
	}
	not "a run or step is not a change" in isolation.deny with input as f.change
	not "a run or step is not a change" in isolation.deny with input as f.admission
}
