"""Indonesian of the panel Foreground.

translations_id.py says which words stay as they are.
"""

OPERATORS: dict[str, str] = {
    "Add Collection to Foreground": "Tambahkan Koleksi ke Latar Depan",
    "Add Selected to Foreground": "Tambahkan yang Terpilih ke Latar Depan",
    "Choose the Set": "Pilih Set",
    "Clear the Set": "Kosongkan Set",
    "Collection": "Koleksi",
    "Remove from Foreground": "Keluarkan dari Latar Depan",
    "Selected": "Terpilih",
}

TEXTS: dict[str, str] = {
    "1 object": "1 objek",
    "Choose another one": "Pilih yang lain",
    "Collection": "Koleksi",
    "Foreground": "Latar Depan",
    "Missing: {}": "Tidak ditemukan: {}",
    "Never send the selected objects: they stay in your own renders, in front of the plate": (
        "Jangan pernah kirim objek yang terpilih: objek itu tetap ada di render Anda sendiri, di depan plate"
    ),
    "Never send what is in a collection, or in an instance of it: it stays in your own renders, in front of the plate": (
        "Jangan pernah kirim isi sebuah koleksi atau instansnya: isinya tetap ada di render Anda sendiri, di depan plate"
    ),
    "No shot, as it has one frame: {}": "Bukan shot karena hanya satu frame: {}",
    "Select the objects first": "Pilih dulu objeknya",
    "Send everything that renders and is not foreground": "Kirim semua yang dirender dan bukan latar depan",
    "Send it again": "Kirim lagi",
    "Send only what is in one collection; without one, everything that renders and is not foreground": (
        "Kirim hanya isi satu koleksi; tanpa koleksi, semua yang dirender dan bukan latar depan"
    ),
    "Sent": "Dikirim",
    "Set: everything else": "Set: semua yang lain",
    "Set: {}": "Set: {}",
    "it is gone": "sudah tidak ada",
    "{} left out": "{} tidak dikirim",
    "{} not seen by the camera": "{} tidak terlihat kamera",
    "{} objects": "{} objek",
}
