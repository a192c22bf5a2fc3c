# SPDX-License-Identifier: Apache-2.0
# bash completion for dog(8) and sheep(8). dog itself says what may come next.

_dog()
{
	local word IFS=$'\n'

	COMPREPLY=()
	for word in $(dog __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
		word=${word%%$'\t'*}
		[[ $word == "${COMP_WORDS[COMP_CWORD]}"* ]] && COMPREPLY+=("$word")
	done
}
complete -o default -F _dog dog

_sheep()
{
	local words

	words=$(sheep --help 2>/dev/null | grep -oE '(^| )--?[a-z][a-z-]*' | tr -d ' ')
	if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
	fi
}
complete -o default -F _sheep sheep
