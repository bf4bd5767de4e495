//go:build tools

// Package tools pins what is built here: the Pulumi command line tool.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
