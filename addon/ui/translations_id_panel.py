"""Indonesian of the Farplane tab's frame: state, messages, gallery, shots, folders, and how the backend is installed.

translations_id.py says which words stay as they are.
"""

OPERATORS: dict[str, str] = {
    "As Written": "Seperti Tertulis",
    "At the Current Frame": "Pada Frame Sekarang",
    "Copy Line": "Salin Baris",
    "Dismiss": "Tutup",
    "Generate as Written": "Buat Seperti Tertulis",
    "Install": "Pasang",
    "Install the Backend": "Pasang Backend",
    "Notice": "Pemberitahuan",
    "Show Takes of Shot": "Tampilkan Take dari Shot",
    "Start": "Jalankan",
}

TEXTS: dict[str, str] = {
    "1. Get Farplane's repository: a zip of the add-on alone has no backend": (
        "1. Ambil repositori Farplane: zip add-on saja tidak berisi backend"
    ),
    "3. In a terminal, in the repository's folder:": "3. Di terminal, di dalam folder repositori:",
    "About This Take": "Tentang Take Ini",
    "As Written": "Seperti Tertulis",
    "Backend connected": "Backend tersambung",
    "Backend not connected": "Backend tidak tersambung",
    "Batch": "Sekaligus",
    "Choose another Takes Folder in the Settings panel": "Pilih Folder Take lain di panel Pengaturan",
    "Choose the program that this made": "Pilih program yang dihasilkannya",
    "Copied. Paste it into a terminal": "Disalin. Tempelkan ke terminal",
    "Copy this line to the clipboard": "Salin baris ini ke papan klip",
    "Debian or Ubuntu, with make and Python 3.11 or 3.13; 5 GB of disk": (
        "Debian atau Ubuntu, dengan make dan Python 3.11 atau 3.13; disk 5 GB"
    ),
    "Farplane: {}": "Farplane: {}",
    "Folder": "Folder",
    "Free some space, choose another Takes Folder in the Settings panel, or render fewer frames or a smaller size": (
        "Kosongkan ruang, pilih Folder Take lain di panel Pengaturan, atau render lebih sedikit frame atau ukuran lebih kecil"
    ),
    "Free some space, or choose another Takes Folder in the Settings panel": (
        "Kosongkan ruang, atau pilih Folder Take lain di panel Pengaturan"
    ),
    "How to install the backend on this machine, or use one on another": (
        "Cara memasang backend di mesin ini, atau memakai yang ada di mesin lain"
    ),
    "Its path is in the clipboard": "Lokasinya ada di papan klip",
    "Linux": "Linux",
    "List the takes of this shot": "Daftarkan take dari shot ini",
    "Make variations of it, or generate it as written": "Buat variasinya, atau buat seperti tertulis",
    "{} Variations": "{} Variasi",
    "Show {} of {}": "Tampilkan {} dari {}",
    "No backend": "Tidak ada backend",
    "No presets yet. Name the first one": "Belum ada preset. Beri nama yang pertama",
    "No shot": "Tidak ada shot",
    "Not tested on this system: please tell what does not work": (
        "Belum diuji di sistem ini: mohon laporkan yang tidak berfungsi"
    ),
    "Or use a backend on another machine: there, 'farplane pair NAME' prints a line": (
        "Atau pakai backend di mesin lain: di sana 'farplane pair NAME' mencetak sebuah baris"
    ),
    "Put this message away": "Tutup pesan ini",
    "Python 3.11 or 3.13 from python.org; 5 GB of disk": "Python 3.11 atau 3.13 dari python.org; disk 5 GB",
    "Save again once there is room": "Simpan lagi setelah ada ruang",
    "Send the prompt's braces as they stand, and make one take of it": (
        "Kirim kurung kurawal prompt apa adanya, dan buat satu take darinya"
    ),
    "Shots": "Shot",
    "Show the contact sheet in an Image Editor": "Tampilkan lembar kontak di Editor Gambar",
    "System": "Sistem",
    "Takes Folder": "Folder Take",
    "Tell in the status bar how something ended": "Beri tahu di bilah status bagaimana sesuatu berakhir",
    "The chosen take. Click for all takes of this shot as pictures": (
        "Take yang dipilih. Klik untuk melihat semua take shot ini sebagai gambar"
    ),
    "The prompt holds alternatives": "Prompt berisi pilihan",
    "Where takes are kept, one folder a shot. Empty is 'farplane' beside the saved file; // is the file's own folder": (
        "Tempat take disimpan, satu folder per shot. Kosong berarti 'farplane' di samping berkas tersimpan; "
        "// adalah folder berkas itu sendiri"
    ),
    "Whose takes are listed": "Take siapa yang didaftarkan",
    "Whose takes are listed. Empty follows the timeline": "Take siapa yang didaftarkan. Kosong mengikuti lini masa",
    "Windows": "Windows",
    "draft": "draf",
    "it cannot be read": "tidak dapat dibaca",
    "it holds alternatives in braces": "berisi pilihan dalam kurung kurawal",
    "macOS": "macOS",
    "the takes made before the first save stay in {} ({})": (
        "take yang dibuat sebelum penyimpanan pertama tetap di {} ({})"
    ),
    "this system has no program to show {}": "sistem ini tidak punya program untuk menampilkan {}",
    "{} steps": "{} langkah",
    "{}, take {} of {}": "{}, take {} dari {}",
}
