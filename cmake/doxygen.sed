# SPDX-License-Identifier: MIT
# What Doxygen reads in place of a header or a Markdown page; lines keep their numbers.

# Each header gets a page, to which the links of README lead.
1s,^// SPDX.*,/// \\file,
s,](include/gatedpaths/\([a-z_/]*\.hpp\)),](@ref \1),g

# What LibTorch's macro for options stands for.
s,^ *TORCH_ARG(\(.*\)\, \([a-z_]*\)).*;,auto\& \2(const \1\& value); /** \\overload */ const \1\& \2() const;,
# The same over two lines.
/^ *TORCH_ARG(.*=$/{
N
s,^ *TORCH_ARG(\(.*\)\, \([a-z_]*\)).*,auto\& \2(const \1\& value); /** \\overload */ const \1\& \2() const;\n,
}

# Defaulted functions say what they do.
s,.* = default;,,

# Friends are no members, but Doxygen looks for templates among them.
s,^ *friend .*;,,

# Deduction guides too: "template <...> Name(...) -> Name<...>;".
s,^[A-Z][A-Za-z]*(.*) -> [A-Z][A-Za-z]*<.*>;,,
/^template </{
  :more
  /[;{]$/!{
    N
    b more
  }
  / -> [A-Z][A-Za-z]*<[^\n]*;$/s,[^\n]*,,g
}
