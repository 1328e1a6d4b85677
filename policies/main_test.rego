package conductor.main_test

import data.conductor
import data.conductor.fixtures_test as f

test_an_admission_is_allowed if conductor.allow with input as f.admission

test_a_step_is_allowed if {
	conductor.allow with input as object.union(f.admission, {"operation": "step.start"})
}

test_a_change_is_allowed if conductor.allow with input as f.change

test_what_cannot_be_taken_back_is_allowed if conductor.allow with input as f.irreversible

test_allowed_has_no_reasons if conductor.reasons == set() with input as f.admission

test_nothing_is_not_allowed if {
	not conductor.allow with input as {}
	not conductor.allow with input as null
	not conductor.allow with input as "admit"
	not conductor.allow with input as []
}

test_another_version_is_not_known if {
	every v in [0, 2, "1", null, true] {
		"main: this version of the rules knows input version 1 only" in conductor.reasons with input as object.union(f.admission, {"version": v})
	}
}

test_other_classes_are_not_decided if {
	every c in ["settle", "tighten", "recover", "read", "", null, 1] {
		"main: the class of the request is not one that policy decides" in conductor.reasons with input as object.union(f.change, {"class": c})
	}
}

test_an_operation_is_named if {
	every o in ["", null, 1, ["ramp.set"]] {
		"main: the request does not say what is to be done" in conductor.reasons with input as object.union(f.change, {"operation": o})
	}
}

# Fields of a request that an admission, and a change, cannot be without.
test_every_field_of_an_admission_is_needed if {
	every field in ["version", "class", "operation", "tenant", "profile", "principal", "scope", "work", "workflow", "within", "ramp"] {
		not conductor.allow with input as object.remove(f.admission, [field])
	}
}

test_every_field_of_a_change_is_needed if {
	every field in ["version", "class", "operation", "tenant", "profile", "principal", "scope", "freeze", "role", "approvals"] {
		not conductor.allow with input as object.remove(f.change, [field])
	}
}

test_each_file_says_no_by_its_name if {
	quotas := conductor.reasons with input as object.remove(f.admission, ["within"])
	some q in quotas
	startswith(q, "quotas: ")
	ramps := conductor.reasons with input as object.remove(f.admission, ["ramp"])
	some r in ramps
	startswith(r, "ramps: ")
	isolation := conductor.reasons with input as object.remove(f.admission, ["scope"])
	some i in isolation
	startswith(i, "isolation: ")
	freeze := conductor.reasons with input as object.remove(f.change, ["freeze"])
	some z in freeze
	startswith(z, "freeze: ")
	dual := conductor.reasons with input as object.remove(f.change, ["role"])
	some d in dual
	startswith(d, "dual control: ")
	"site: closed" in conductor.reasons with input as f.admission with data.conductor.site.deny as {"closed"}
}
