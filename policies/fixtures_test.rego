# Requests that are allowed; the other tests take something from them.
package conductor.fixtures_test

admission := {
	"version": 1,
	"class": "admit",
	"operation": "run.start",
	"tenant": "acme",
	"profile": "default",
	"principal": "workload",
	"scope": {"proven": true},
	"work": {"action": "run", "workflow": "etl", "env": "production", "actor": "service"},
	"workflow": {"registered": true, "prompt_fits": true},
	"within": {"concurrent_runs": true, "step_rate": true, "receipt_backlog": true},
	"ramp": {"included": true, "killed": false},
	"freeze": {"active": false, "break_glass": false},
}

change := {
	"version": 1,
	"class": "loosen",
	"operation": "ramp.set",
	"tenant": "acme",
	"profile": "default",
	"principal": "operator",
	"scope": {"proven": true},
	"freeze": {"active": false, "break_glass": false},
	"role": {"held": true},
	"approvals": {"enough": true, "distinct": true},
}

irreversible := object.union(change, {"class": "irreversible", "operation": "operator.enrol"})

# Every value that a boolean field of a request may wrongly have.
wrong := [null, 0, 1, "", "true", "false", [], {}, [true]]

# Fields of a request that hold facts, each true or false.
groups := {"scope", "workflow", "within", "ramp", "freeze", "role", "approvals"}
