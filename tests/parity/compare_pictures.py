# SPDX-License-Identifier: MIT
"""Whether two pictures of one space are equal, but for which branches are open.

compare_pictures.py ONE.svg OTHER.svg
"""

import sys
import xml.etree.ElementTree as ElementTree


def content(path):
    """Each element with all that it says but its class."""
    elements = []
    for element in ElementTree.parse(path).iter():
        attributes = {k: v for k, v in element.attrib.items() if k != "class"}
        elements.append((element.tag, attributes, (element.text or "").strip()))
    return elements


def main():
    one, other = (content(path) for path in sys.argv[1:])
    for a, b in zip(one, other):
        if a != b:
            sys.exit(f"expected {a}, got {b}")
    if len(one) != len(other):
        sys.exit(f"expected {len(one)} elements, got {len(other)}")
    print(f"{len(one)} elements")


if __name__ == "__main__":
    main()
