//go:build tools

// Package tools pins what is built here: the Node.js language host of Pulumi.
package tools

import _ "github.com/pulumi/pulumi/sdk/v3/nodejs/cmd/pulumi-language-nodejs"
