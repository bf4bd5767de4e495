# `load(PATH)`: a JSON object from a file as dockerd reads it, which takes a byte order mark of UTF-8 or UTF-16
# (moby, daemon/config/config.go: unicode.BOMOverride). {} where the file is missing or empty. Ends the program for
# a file that is no JSON, or no object.
# ---
import codecs, json, sys
def decode(data):
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")
def load(name):
    try:
        with open(name, "rb") as file:
            text = decode(file.read())
        data = json.loads(text if text.strip() else "{}")
    except FileNotFoundError:
        return {}
    except ValueError as error:
        sys.exit("%s is no JSON (%s): mend or remove it" % (name, error))
    if not isinstance(data, dict):
        sys.exit("%s holds no JSON object: mend or remove it" % name)
    return data
