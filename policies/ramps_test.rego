package conductor.ramps_test

import data.conductor.fixtures_test as f
import data.conductor.ramps

test_ramp_included if {
	every v in array.concat(f.wrong, [false]) {
		"the subject is not among those that the ramp includes" in ramps.deny with input as object.union(f.admission, {"ramp": {"included": v}})
	}
	"the subject is not among those that the ramp includes" in ramps.deny with input as object.union(object.remove(f.admission, ["ramp"]), {"ramp": {}})
	"the subject is not among those that the ramp includes" in ramps.deny with input as object.remove(f.admission, ["ramp"])
	not "the subject is not among those that the ramp includes" in ramps.deny with input as f.admission
}

test_ramp_killed if {
	every v in array.concat(f.wrong, [true]) {
		"a kill switch covers this work" in ramps.deny with input as object.union(f.admission, {"ramp": {"killed": v}})
	}
	"a kill switch covers this work" in ramps.deny with input as object.union(object.remove(f.admission, ["ramp"]), {"ramp": {}})
	"a kill switch covers this work" in ramps.deny with input as object.remove(f.admission, ["ramp"])
	not "a kill switch covers this work" in ramps.deny with input as f.admission
}

test_changes_have_no_ramp if ramps.deny == set() with input as f.change
