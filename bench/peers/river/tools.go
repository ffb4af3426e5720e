//go:build tools

// Package river pins the peer of the job queue's benchmark: River's own command.
package river

import _ "github.com/riverqueue/river/cmd/river"
