//go:build tools

package tools

import _ "github.com/twpayne/chezmoi/v2"
