package conductor.quotas_test

import data.conductor.fixtures_test as f
import data.conductor.quotas

test_within_concurrent_runs if {
	every v in array.concat(f.wrong, [false]) {
		"the tenant has as many open runs as its quota grants" in quotas.deny with input as object.union(f.admission, {"within": {"concurrent_runs": v}})
	}
	"the tenant has as many open runs as its quota grants" in quotas.deny with input as object.union(object.remove(f.admission, ["within"]), {"within": {}})
	"the tenant has as many open runs as its quota grants" in quotas.deny with input as object.remove(f.admission, ["within"])
	not "the tenant has as many open runs as its quota grants" in quotas.deny with input as f.admission
}

test_within_step_rate if {
	every v in array.concat(f.wrong, [false]) {
		"the tenant starts steps faster than its quota grants" in quotas.deny with input as object.union(f.admission, {"within": {"step_rate": v}})
	}
	"the tenant starts steps faster than its quota grants" in quotas.deny with input as object.union(object.remove(f.admission, ["within"]), {"within": {}})
	"the tenant starts steps faster than its quota grants" in quotas.deny with input as object.remove(f.admission, ["within"])
	not "the tenant starts steps faster than its quota grants" in quotas.deny with input as f.admission
}

test_within_receipt_backlog if {
	every v in array.concat(f.wrong, [false]) {
		"too many of the tenant's receipts wait for a signed checkpoint" in quotas.deny with input as object.union(f.admission, {"within": {"receipt_backlog": v}})
	}
	"too many of the tenant's receipts wait for a signed checkpoint" in quotas.deny with input as object.union(object.remove(f.admission, ["within"]), {"within": {}})
	"too many of the tenant's receipts wait for a signed checkpoint" in quotas.deny with input as object.remove(f.admission, ["within"])
	not "too many of the tenant's receipts wait for a signed checkpoint" in quotas.deny with input as f.admission
}

test_workflow_registered if {
	every v in array.concat(f.wrong, [false]) {
		"the workflow type is not in the tenant's catalog" in quotas.deny with input as object.union(f.admission, {"workflow": {"registered": v}})
	}
	"the workflow type is not in the tenant's catalog" in quotas.deny with input as object.union(object.remove(f.admission, ["workflow"]), {"workflow": {}})
	"the workflow type is not in the tenant's catalog" in quotas.deny with input as object.remove(f.admission, ["workflow"])
	not "the workflow type is not in the tenant's catalog" in quotas.deny with input as f.admission
}

test_workflow_prompt_fits if {
	every v in array.concat(f.wrong, [false]) {
		"the prompt is not the one that the catalog pins" in quotas.deny with input as object.union(f.admission, {"workflow": {"prompt_fits": v}})
	}
	"the prompt is not the one that the catalog pins" in quotas.deny with input as object.union(object.remove(f.admission, ["workflow"]), {"workflow": {}})
	"the prompt is not the one that the catalog pins" in quotas.deny with input as object.remove(f.admission, ["workflow"])
	not "the prompt is not the one that the catalog pins" in quotas.deny with input as f.admission
}

test_work_is_described if {
	every field in ["action", "workflow", "env", "actor"] {
		reason := sprintf("the request does not say its %s", [field])
		every v in ["", null, 1, []] {
			reason in quotas.deny with input as object.union(f.admission, {"work": {field: v}})
		}
		reason in quotas.deny with input as object.remove(f.admission, ["work"])
		not reason in quotas.deny with input as f.admission
	}
}

test_changes_have_no_quotas if quotas.deny == set() with input as f.change
