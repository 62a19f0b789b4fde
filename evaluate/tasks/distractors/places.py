"""Countries by continent and states of the USA, as answers name them: the form is what `normalise` gives."""

from __future__ import annotations

from warmgap.evaluate.tasks.wordlist import words

COUNTRIES = {
    "Africa": "Algeria, Angola, Benin, Botswana, Burkina Faso, Burundi, Cameroon, Cape Verde, Chad, Congo, Djibouti, "
    "Egypt, Equatorial Guinea, Eritrea, Ethiopia, Gabon, Gambia, Ghana, Guinea, Ivory Coast, Kenya, Lesotho, "
    "Liberia, Libya, Madagascar, Malawi, Mali, Mauritania, Mauritius, Morocco, Mozambique, Namibia, Niger, "
    "Nigeria, Rwanda, Senegal, Seychelles, Sierra Leone, Somalia, South Africa, Sudan, Swaziland, Tanzania, "
    "Togo, Tunisia, Uganda, Zambia, Zimbabwe",
    "Asia": "Afghanistan, Armenia, Azerbaijan, Bahrain, Bangladesh, Bhutan, Brunei, Burma, Cambodia, China, Georgia, "
    "India, Indonesia, Iran, Iraq, Israel, Japan, Jordan, Kazakhstan, Kuwait, Kyrgyzstan, Laos, Lebanon, "
    "Malaysia, Maldives, Mongolia, Myanmar, Nepal, North Korea, Oman, Pakistan, Philippines, Qatar, Saudi "
    "Arabia, Singapore, South Korea, Sri Lanka, Syria, Taiwan, Tajikistan, Thailand, Turkey, Turkmenistan, "
    "United Arab Emirates, Uzbekistan, Vietnam, Yemen",
    "Europe": "Albania, Andorra, Austria, Belarus, Belgium, Bosnia, Bulgaria, Croatia, Cyprus, Czech Republic, "
    "Denmark, England, Estonia, Finland, France, Germany, Great Britain, Greece, Hungary, Iceland, Ireland, Italy, "
    "Latvia, Liechtenstein, Lithuania, Luxembourg, Malta, Moldova, Monaco, Montenegro, Netherlands, Northern "
    "Ireland, Norway, Poland, Portugal, Romania, Russia, San Marino, Scotland, Serbia, Slovakia, Slovenia, "
    "Spain, Sweden, Switzerland, Ukraine, United Kingdom, Wales",
    "North America": "Bahamas, Barbados, Belize, Canada, Costa Rica, Cuba, Dominican Republic, El Salvador, Grenada, "
    "Guatemala, Haiti, Honduras, Jamaica, Mexico, Nicaragua, Panama, Trinidad and Tobago, United States",
    "South America": "Argentina, Bolivia, Brazil, Chile, Colombia, Ecuador, Guyana, Paraguay, Peru, Suriname, "
    "Uruguay, Venezuela",
    "Oceania": "Australia, Fiji, Kiribati, New Zealand, Papua New Guinea, Samoa, Tonga, Vanuatu",
}
_ALSO = {  # further names, not to be offered
    "Europe": "britain, uk, holland, rumania, yugoslavia, czechoslovakia, soviet union, ussr, republic of ireland, "
    "macedonia, west germany, east germany, bosnia and herzegovina, eire, vatican city, kosovo",
    "Asia": "ceylon, persia, siam, east timor, united arab emirates uae, uae",
    "Africa": "rhodesia, zaire, democratic republic of congo, gambia, upper volta, south sudan, tanganyika",
    "North America": "usa, us, america, united states of america, trinidad, trinidad tobago, "
    "antigua, dominica, st lucia",
    "Oceania": "tuvalu, nauru, palau",
}
CONTINENT_OF = {
    name.lower(): continent
    for part in (COUNTRIES, _ALSO)
    for continent, names in part.items()
    for name in names.split(", ")
}
STATES = words(
    "alabama, alaska, arizona, arkansas, california, colorado, connecticut, delaware, florida, georgia, hawaii, "
    "idaho, illinois, indiana, iowa, kansas, kentucky, louisiana, maine, maryland, massachusetts, michigan, "
    "minnesota, mississippi, missouri, montana, nebraska, nevada, new hampshire, new jersey, new mexico, new "
    "york, north carolina, north dakota, ohio, oklahoma, oregon, pennsylvania, rhode island, south carolina, "
    "south dakota, tennessee, texas, utah, vermont, virginia, washington, west virginia, wisconsin, wyoming",
    ", ",
)  # fmt: skip
# parts of the world that a question may name, which narrow a country down
REGIONS = {
    "north african": "Algeria, Egypt, Libya, Morocco, Sudan, Tunisia",
    "west african": "Benin, Gambia, Ghana, Guinea, Ivory Coast, Liberia, Mali, Nigeria, Senegal, Sierra Leone, Togo",
    "east african": "Burundi, Ethiopia, Kenya, Rwanda, Somalia, Tanzania, Uganda",
    "central american": "Belize, Costa Rica, El Salvador, Guatemala, Honduras, Nicaragua, Panama",
    "caribbean": "Bahamas, Barbados, Cuba, Dominican Republic, Grenada, Haiti, Jamaica, Trinidad and Tobago",
    "scandinavian": "Denmark, Norway, Sweden",
    "nordic": "Denmark, Finland, Iceland, Norway, Sweden",
    "baltic": "Estonia, Latvia, Lithuania",
    "balkan": "Albania, Bulgaria, Croatia, Greece, Montenegro, Romania, Serbia, Slovenia",
    "middle east": "Bahrain, Iran, Iraq, Israel, Jordan, Kuwait, Lebanon, Oman, Qatar, Saudi Arabia, Syria, Yemen",
    "eastern bloc": "Bulgaria, Czechoslovakia, East Germany, Hungary, Poland, Romania",
    "ashes": "Australia, England",
    "cricket": "Australia, Bangladesh, England, India, New Zealand, Pakistan, South Africa, Sri Lanka, Zimbabwe",
    "rugby": "Argentina, Australia, England, France, Ireland, Italy, New Zealand, Scotland, South Africa, Wales",
}
LANDLOCKED = words(
    "botswana, burkina faso, burundi, chad, ethiopia, lesotho, malawi, mali, niger, rwanda, swaziland, uganda, "
    "zambia, zimbabwe, afghanistan, armenia, bhutan, kazakhstan, laos, mongolia, nepal, tajikistan, uzbekistan, "
    "andorra, austria, belarus, czech republic, hungary, liechtenstein, luxembourg, moldova, serbia, slovakia, "
    "switzerland, bolivia, paraguay",
    ", ",
)
