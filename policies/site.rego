# Rules of this site. Add your own here: each says why it denies. For instance, to keep one workflow out of production:
#
#	deny contains "etl-night runs in staging only" if {
#		input.class == "admit"
#		input.work.workflow == "etl-night"
#		input.work.env == "production"
#	}
package conductor.site

deny contains "never" if false
