#compdef dog
# SPDX-License-Identifier: Apache-2.0
# zsh completion for dog(8). dog itself says what may come next.

local line
local -a found
for line in ${(f)"$(dog __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"}; do
	found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
done
if (( $#found )); then
	_describe dog found
else
	_files
fi
